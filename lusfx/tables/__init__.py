"""Tables: manifests and label tables in, score tables out. CSV or Parquet, by the file's ending."""

from lusfx.tables.cells import Cell, ColumnType
from lusfx.tables.table import Row, TableForm, check_table_name, is_table, read_table, write_table

__all__ = ["Cell", "ColumnType", "Row", "TableForm", "check_table_name", "is_table", "read_table", "write_table"]

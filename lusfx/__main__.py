"""``python -m lusfx``."""

from lusfx.cli import main

if __name__ == "__main__":
    main()

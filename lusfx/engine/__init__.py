"""The only place where stages are joined: each command of the command line is one function here."""

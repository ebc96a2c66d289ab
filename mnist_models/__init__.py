"""The same networks, written once per framework. Importing this package imports no framework."""

"""The stack: troposphere, one file per resource group."""

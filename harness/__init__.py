"""Vanderpool's harness: boots a hypervisor on an engine and says precisely what happened."""

__version__ = "0.1.0"

"""Vanderpool's harness: boots a bare-metal hypervisor on an engine and says precisely what happened."""

__version__ = "0.1.0"

"""The appliance: a small Linux with nesting KVM, run by Bochs on machines that have no VMX."""

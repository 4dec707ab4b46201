"""What does one job do? One module a rule, and the tools beside them; imports everything below."""

"""What a site is: validated models, the registry of public facts, and the keys derived from a seed."""

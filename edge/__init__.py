"""`edge`: what a team does with its site beside `pulumi up`; one module a subcommand."""

"""The web page for the people on the barge, and at headquarters the one that lists all sites."""

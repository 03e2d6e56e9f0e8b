"""Stand-ins for the services' official images, of Debian packages and executables built from source."""

"""Everything a person or another program can call: generators, servers, the command line."""

"""Files that are not networks: output folders that are whole or absent, zip archives, arrays read in place."""

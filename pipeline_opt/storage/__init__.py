"""What can be opened here, and what is there."""

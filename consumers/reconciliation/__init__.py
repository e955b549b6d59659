"""The loss proof: what committed, what was published and what is stored are the same events, and chains are whole."""

"""Who may come in: keys, tokens, origins, addresses and quotas, the same for every route."""

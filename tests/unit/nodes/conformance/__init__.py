"""The behaviour that every node provider must have: subclass ``suite.ProviderConformance`` with a harness."""

"""Whether a request is good: the service model, the prose rules, signatures, and what a refusal looks like."""

"""The decision: what to launch, keep and drain, under which caps, at which cost. Pure: values in, values out."""

"""A whole cluster's life on an emulated AWS account."""

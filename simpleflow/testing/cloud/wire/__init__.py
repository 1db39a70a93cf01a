"""The protocols of AWS: requests, codecs, who calls, what stands behind."""

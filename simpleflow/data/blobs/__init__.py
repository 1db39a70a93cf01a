"""Blob stores: files and S3 behind one Protocol."""

"""What Amazon SWF does, asked over boto3 only: the same tests could run against AWS."""

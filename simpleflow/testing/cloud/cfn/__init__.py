"""CloudFormation: every resource made, updated and deleted by public API calls against the same account."""

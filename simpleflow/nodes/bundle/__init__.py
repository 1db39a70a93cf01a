"""What machines are made from: the template, the user data, and the bundle of code that they install."""

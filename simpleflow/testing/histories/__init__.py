"""Histories made by hand, as Amazon SWF would have written them."""

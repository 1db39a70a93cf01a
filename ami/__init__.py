"""Machine images: recipes, bootstrap scripts, builders."""

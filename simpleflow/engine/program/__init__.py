"""Where ``run()`` runs, blocks and reads."""

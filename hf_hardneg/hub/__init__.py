"""What stands on the Hub: recipes, the folder that is published, its card, and the push."""

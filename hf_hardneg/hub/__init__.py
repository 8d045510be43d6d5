"""From a recipe to a published data set: recipes, cards, the push, and doing it again."""

"""What a mined set is worth: false negatives with an interval, hardness, ranking."""

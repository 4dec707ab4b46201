"""What do the measurements say? Tables, figures and the page, from files alone; imports `experiment` and below, and
never torch."""

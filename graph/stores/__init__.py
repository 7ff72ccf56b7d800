"""Where the truth is kept. `contract` says what a store promises; each other module is one store."""

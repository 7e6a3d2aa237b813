"""What the meters of ``fastvideo.eval`` stand: clips that were worn, and how often they are read right."""

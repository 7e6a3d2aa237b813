"""fastvideo as a worker of NVIDIA Dynamo, built on ``fastvideo`` and ``fastvideo.api`` alone."""

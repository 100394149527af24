"""Finding things in pictures: postprocessors and ready pipelines, equal to the chip's (runtime spec 7)."""

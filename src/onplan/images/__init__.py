"""Image generation: images from a prompt, or from other images."""

"""The provider `comfyui`: renders on a ComfyUI server with a workflow of the project."""

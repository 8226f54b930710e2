"""The Qwen-Image service of Alibaba Cloud Model Studio (DashScope)."""

"""Ways into other libraries; nothing of the base package imports them, and each loads its library itself."""

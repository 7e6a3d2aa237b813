"""One metric a module. Each has ``measure(sample) -> Score``, or ``load(device)`` that makes one."""

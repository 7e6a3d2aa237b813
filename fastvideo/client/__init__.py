"""The asyncio client of the streaming protocol."""

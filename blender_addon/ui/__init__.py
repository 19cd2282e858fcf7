"""What the artist sees: preferences, properties, panels, operators and menus."""

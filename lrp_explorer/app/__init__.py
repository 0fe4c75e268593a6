"""The app: one notebook served by Voilà to a browser. Between the shell above and the panels below."""

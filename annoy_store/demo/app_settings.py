"""Settings of the web application."""

DEBUG = False
DATABASE = {"engine": "sqlite", "name": "app.db"}
CACHE_SECONDS = 300
LANGUAGES = [("en", "English"), ("de", "Deutsch"), ("fr", "Français")]

if DEBUG:
    CACHE_SECONDS = 0

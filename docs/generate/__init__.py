"""What of the site is made by code: pages of commands and of the API, and the picture of rooms."""

"""Sheets: the questions and forms that open over a page. Each gives its commands to the session and shows errors at the field."""

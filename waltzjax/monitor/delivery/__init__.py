"""Delivery of alerts: messages, destinations, attempts, and those that wait."""

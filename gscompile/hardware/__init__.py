"""Crossbar hardware: targets, their components with sizes, devices and costs, and floorplans."""

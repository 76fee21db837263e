"""What crossbar hardware is: targets, their components with sizes, devices and costs, and where things lie."""

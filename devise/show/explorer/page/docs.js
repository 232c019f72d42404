// Swagger UI on the server's own description of its calls; nothing is asked of any other server.
SwaggerUIBundle({ url: "openapi.json", dom_id: "#calls", deepLinking: true, validatorUrl: null });
